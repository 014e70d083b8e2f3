//! State that a spec file leaves in its runner: each file is judged on its own, and a broken one is
//! never green, with or without a fork per file.

use crate::setup::Setup;

const SLAVES: [&str; 2] = [
    "rrr-slave --adapter rspec --isolation fork",
    "rrr-slave --adapter rspec --isolation none",
];

/// Fails if the previous file left any state.
const CLEAN: &str = "RSpec.describe('clean') do
  it('finds its process as it was') { expect([Dir.pwd == ROOT, ENV['LEAK'], File.umask, trap('USR1', 'DEFAULT')]).to eq [true, nil, UMASK, 'DEFAULT'] }
  it('finds its outputs') { puts 'said'; warn 'warned'; expect([$stdout, $stderr]).to eq [STDOUT, STDERR] }
  it('is alone') { expect(Thread.list.size).to eq 1; expect { Process.wait }.to raise_error(Errno::ECHILD) }
  it('has the methods of Ruby') { expect([Process.pid > 1, File.exist?('/'), [3].first]).to eq [true, true, 3] }
  it('has the settings of the suite', :zz) { expect(@leak).to be_nil }
  it('has the numbers of the suite') { expect(rand(1 << 30)).to eq((all = Random.new(42); all.rand(10); all.rand(1 << 30))) }
  it('looks as rspec does') { expect([File.basename($0), ARGV.size, defined?(JSON), defined?(PP)]).to eq ['rspec', 1, nil, nil] }
end";

/// The code of a file, in its only example or outside it.
const LEAKS: &[&str] = &[
    "it { Dir.chdir('/') }",
    "it { Dir.mkdir('gone'); Dir.chdir('gone'); Dir.rmdir('../gone') }",
    "it { ENV['LEAK'] = '1'; File.umask(0); trap('USR1') { }; trap('TERM', 'IGNORE'); srand 7; ARGV << 'x' }",
    "it { one = Class.new { def write(*all) = all.size }; $stdout = one.new; $stderr = one.new }",
    "it { STDOUT.reopen('/dev/null'); STDERR.reopen('/dev/null') }",
    "it { $stderr.close }",
    "it { Thread.new { sleep } }",
    "it { spawn('sleep 600'); spawn('true') }",
    "it { def Process.pid = 1; def Process.clock_gettime(*) = 0; class IO; def write(*) = 0; end }",
    "RSpec.configure { |c| c.before { @leak = 1 }; c.filter_run_excluding :zz; c.around { |e| } }\nit { }",
    "RSpec.configure { |c| c.before(:context, :zz) { @leak = 1 }; c.define_derived_metadata { |all| all[:skip] = true } }\nit { }",
    "it { File.singleton_class.prepend(Module.new { def exist?(*) = false }) }",
    "it { def BasicObject.method_added(*) = nil; class Array; def first(*) = nil; end }",
    "fit { }",
    "it { RSpec.reset }",
];

#[test]
fn a_spec_file_cannot_change_the_verdict_of_the_next() {
    let setup = Setup::new(1);
    std::fs::create_dir(setup.suite.path().join("spec")).unwrap();
    let helper = "ROOT, UMASK = Dir.pwd, File.umask\nsrand 42\nrand(10)\nRSpec.configure { |c| c.filter_run_when_matching :focus }";
    std::fs::write(setup.suite.path().join("spec/spec_helper.rb"), helper).unwrap();
    let name = |n: usize, what: &str| format!("spec/{:02}_{what}_spec.rb", n + 10);
    for (n, leak) in LEAKS.iter().enumerate() {
        let text = format!("RSpec.describe('leaks') {{ {leak}\n }}");
        setup
            .suite
            .file(&name(n, "a"), &text)
            .file(&name(n, "b"), CLEAN);
    }
    for slave in SLAVES {
        let ran = setup.run(slave, &[]);
        for (n, leak) in LEAKS.iter().enumerate() {
            let trial = ran.trial(&name(n, "a"));
            assert!(
                matches!(&*trial["status"], "passed" | "pending"),
                "{trial:?}"
            );
            let file = name(n, "b");
            let trial = ran.trial(&file);
            assert_eq!(
                ran.verdict(&file),
                "passed 7 0 0",
                "{slave} {leak} {trial:?}"
            );
            assert!(trial["stdout"].contains("said"), "{slave} {leak} {trial:?}");
        }
    }
}

#[test]
fn a_spec_file_that_tidies_up_costs_no_new_process() {
    let setup = Setup::new(1);
    for (n, text) in [
        "allow(Time).to receive(:now).and_return(1); expect(Time.now).to eq 1",
        "allow(File).to receive(:exist?).and_return(true); allow_any_instance_of(IO).to receive(:write); expect(File.exist?('/gone')).to be true",
        "class Array; def first_of_all = first; end; String.include(Comparable); ENV['LEAK'] = '1'; srand 7; trap('USR1') { }",
        "expect([File.exist?('/gone'), ENV.key?('LEAK')]).to eq [false, false]",
    ]
    .iter()
    .enumerate()
    {
        let text = format!("RSpec.describe('x') {{ it {{ puts \"by #{{$$}}.\"; {text} }} }}");
        setup.suite.file(&format!("{n}_spec.rb"), &text);
    }
    let ran = setup.run(SLAVES[1], &[]);
    let by = |n: usize| {
        let file = format!("{n}_spec.rb");
        let trial = ran.trial(&file);
        assert_eq!(ran.verdict(&file), "passed 1 0 0", "{trial:?}");
        let said = trial["stdout"].split("by ").nth(1).unwrap();
        said.split('.').next().unwrap().to_owned()
    };
    for n in 1..4 {
        assert_eq!(by(n), by(0), "{n}");
    }
}

#[test]
fn a_spec_file_that_hides_its_failure_is_not_green() {
    let cases = [
        (
            "01-forks-on",
            "it { }; it { if (pid = fork) then Process.wait(pid); raise 'parent' end }",
            "failed 1 0 1",
        ),
        (
            "02-pid",
            "def Process.pid = 1\nit { raise 'x' if fork.then { |pid| pid && Process.wait(pid) } }",
            "failed 0 0 1",
        ),
        (
            "03-quits",
            "it { RSpec.world.wants_to_quit = true }; it { raise 'x' }",
            "error 1 0 0",
        ),
        (
            "04-interrupts",
            "it { Process.kill(:INT, $$); Thread.pass until RSpec.world.wants_to_quit }; it { raise 'x' }",
            "error 1 0 0",
        ),
        (
            "05-after",
            "after(:context) { raise 'x' }; it { }",
            "error 1 0 0",
        ),
        (
            "06-reporter",
            "class RSpec::Core::Reporter; def example_failed(*) = nil; end\nit { raise 'x' }",
            "error 0 0 0",
        ),
    ];
    let setup = Setup::new(1);
    for (name, text, _) in cases {
        let text = format!("RSpec.describe('x') {{ {text} }}");
        setup.suite.file(&format!("{name}_spec.rb"), &text);
    }
    for slave in SLAVES {
        let ran = setup.run(slave, &[]);
        for (name, _, verdict) in cases {
            let file = format!("{name}_spec.rb");
            let trial = ran.trial(&file);
            assert_eq!(ran.verdict(&file), verdict, "{slave} {name} {trial:?}");
        }
    }
}

#[test]
fn all_exceptions_and_failures_are_kept_and_counts_are_exact() {
    let setup = Setup::new(1);
    let text = "RSpec.describe('x') do
      it('aggregates', :aggregate_failures) { expect(1).to eq 21; expect(2).to eq 31 }
      context('hook') { after { raise 'in after' }; it('fails twice') { raise 'in body' } }
      it('has causes') do
        begin
          begin raise 'root' rescue raise ArgumentError, 'mid' + 'dle' end
        rescue StandardError
          raise KeyError, 'top'
        end
      end
    end";
    let many = "RSpec.describe('many') { 12_000.times { |n| it(\"example #{n}\") { raise 'y' * 9000 if n % 20 == 0 } } }";
    setup
        .suite
        .file("a_spec.rb", text)
        .file("many_spec.rb", many);
    let ran = setup.run(SLAVES[0], &[]);
    let messages: Vec<String> = ran
        .examples("a_spec.rb")
        .iter()
        .map(|example| example["message"].as_str().unwrap_or_default().to_owned())
        .collect();
    let of = |words: &[&str]| {
        let has = |text: &String| words.iter().all(|word| text.contains(word));
        messages.iter().any(has)
    };
    assert!(of(&["expected: 21", "expected: 31"]), "{messages:?}");
    assert!(of(&["in body\n", "in after\n"]), "{messages:?}");
    assert!(
        of(&["top\n", "ArgumentError: middle", "root\n"]),
        "{messages:?}"
    );

    assert_eq!(ran.verdict("many_spec.rb"), "failed 11400 0 600");
    let examples = ran.examples("many_spec.rb");
    let failed = examples
        .iter()
        .filter(|it| it["status"] == "failed")
        .count();
    assert_eq!(failed, 600);
    let cut: usize = ran.trial("many_spec.rb")["examples_cut"].parse().unwrap();
    assert_eq!(examples.len() + cut, 12_000);
}
