fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-stat", rrr::role::stat::run)
}
