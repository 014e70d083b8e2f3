fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-slave", rrr::role::slave::run)
}
