fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-wait", rrr::role::wait::run)
}
