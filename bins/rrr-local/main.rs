fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-local", rrr::role::local::run)
}
