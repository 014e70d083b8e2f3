fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-history", rrr::role::history::run)
}
