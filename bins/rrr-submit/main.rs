fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-submit", rrr::role::submit::run)
}
