fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-wait", rrr::role::wait::run)
}
