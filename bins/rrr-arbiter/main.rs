fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-arbiter", rrr::role::arbiter::run)
}
