fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-keygen", rrr::role::keygen::run)
}
