fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-persist", rrr::role::persist::run)
}
