fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-watch", rrr::role::watch::run)
}
