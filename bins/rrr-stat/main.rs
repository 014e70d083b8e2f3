fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-stat", rrr::role::stat::run)
}
