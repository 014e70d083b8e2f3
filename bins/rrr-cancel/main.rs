fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-cancel", rrr::role::cancel::run)
}
