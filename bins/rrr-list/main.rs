fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-list", rrr::role::list::run)
}
