fn main() -> std::process::ExitCode {
    rrr::cli::main::main_with_file(
        "rrr-submit",
        rrr::role::submit::run,
        rrr::role::project_file_readers,
    )
}
