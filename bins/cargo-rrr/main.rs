fn main() -> std::process::ExitCode {
    rrr::role::plugin::main()
}
