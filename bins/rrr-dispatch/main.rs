fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-dispatch", rrr::role::dispatch::run)
}
