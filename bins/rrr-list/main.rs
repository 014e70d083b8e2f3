fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-list", rrr::role::list::run)
}
