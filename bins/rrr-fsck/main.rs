fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-fsck", rrr::role::fsck::run)
}
