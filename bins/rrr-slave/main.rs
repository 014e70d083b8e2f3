fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-slave", rrr::role::slave::run)
}
