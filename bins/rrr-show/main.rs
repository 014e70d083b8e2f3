fn main() -> std::process::ExitCode {
    rrr::cli::main("rrr-show", rrr::role::show::run)
}
