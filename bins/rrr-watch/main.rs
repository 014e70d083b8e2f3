fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-watch", rrr::role::watch::run)
}
