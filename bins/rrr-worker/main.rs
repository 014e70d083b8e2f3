fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-worker", rrr::role::worker::run)
}
