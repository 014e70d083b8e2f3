fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-worker", rrr::role::worker::run)
}
