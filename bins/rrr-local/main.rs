fn main() -> std::process::ExitCode {
    rrr::cli::main::main_with_file(
        "rrr-local",
        rrr::role::local::run,
        rrr::role::project_file_readers,
    )
}
