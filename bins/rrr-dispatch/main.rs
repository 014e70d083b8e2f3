fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-dispatch", rrr::role::dispatch::run)
}
