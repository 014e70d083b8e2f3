fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-cancel", rrr::role::cancel::run)
}
