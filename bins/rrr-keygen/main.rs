fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-keygen", rrr::role::keygen::run)
}
