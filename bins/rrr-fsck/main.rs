fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-fsck", rrr::role::fsck::run)
}
