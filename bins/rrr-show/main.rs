fn main() -> std::process::ExitCode {
    rrr::cli::main::main("rrr-show", rrr::role::show::run)
}
