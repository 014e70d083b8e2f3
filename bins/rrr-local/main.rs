fn main() -> std::process::ExitCode {
    rrr::cli::main_with_file("rrr-local", rrr::role::local::run)
}
