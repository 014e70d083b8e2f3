fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-arbiter", rrr::role::arbiter::run)
}
