fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-persist", rrr::role::persist::run)
}
