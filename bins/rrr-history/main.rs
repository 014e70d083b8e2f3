fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-history", rrr::role::history::run)
}
