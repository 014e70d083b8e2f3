//! RSpec, loaded once: the results match those of its own command, and a file cannot affect the
//! next.

use crate::harness::*;
use crate::setup::Setup;

const FORK: &str = "rrr-slave --adapter rspec";
const NONE: &str = "rrr-slave --adapter rspec --isolation none";

#[test]
fn counts_match_those_of_rspec() {
    let setup = Setup::new(1);
    setup
        .suite
        .file(
            "spec/a_spec.rb",
            "RSpec.describe 'A' do\n  it('adds') { expect(1 + 1).to eq 2 }\n  it('waits')\n  it('fails') { puts 'seen'; expect(1).to eq 2 }\n  it('is pending') { pending 'later'; raise 'x' }\n  xit('is skipped') { raise 'x' }\nend",
        )
        .file("spec/b_spec.rb", "RSpec.describe('B') { it('passes') { warn 'on stderr' } }")
        .file("spec/c_spec.rb", "RSpec.describe('C') { it('waits') }")
        .file("spec/d_spec.rb", "RSpec.describe('D') { it('is fine') { } }\nraise 'outside'")
        .file("spec/e_spec.rb", "RSpec.describe('E') { it('is fine') { }; after(:context) { raise 'too late' } }")
        .file("spec/f_spec.rb", "RSpec.describe('F') { before(:context) { raise 'x' }; it('a') {}; it('b') {} }")
        .file("spec/g_spec.rb", "syntax error(")
        .file("spec/h_spec.rb", "# no examples");
    for slave in [FORK, NONE] {
        let ran = setup.run(slave, &[]);
        let verdict = |file: &str| ran.verdict(&format!("spec/{file}_spec.rb"));
        assert_eq!(verdict("a"), "failed 1 3 1", "{slave}");
        assert_eq!(verdict("b"), "passed 1 0 0", "{slave}");
        assert_eq!(verdict("c"), "pending 0 1 0", "{slave}");
        assert_eq!(verdict("d"), "error 0 0 0", "{slave}");
        assert_eq!(verdict("e"), "error 1 0 0", "{slave}");
        assert_eq!(verdict("f"), "failed 0 0 2", "{slave}");
        assert_eq!(verdict("g"), "error 0 0 0", "{slave}");
        assert_eq!(verdict("h"), "pending 0 0 0", "{slave}");
        assert!(ran.trial("spec/b_spec.rb")["stderr"].starts_with("on stderr\n"));
        let trial = ran.trial("spec/a_spec.rb");
        assert!(trial["stdout"].contains("seen"), "{trial:?}");
        assert!(
            trial["stdout"].contains("5 examples, 1 failure, 3 pending"),
            "{trial:?}"
        );
        let examples = ran.examples("spec/a_spec.rb");
        assert_eq!(examples.len(), 5);
        let bad = examples.iter().find(|e| e["status"] == "failed").unwrap();
        assert_eq!(bad["id"], "spec/a_spec.rb[1:3]");
        assert_eq!(bad["name"], "A fails");
        assert_eq!(
            (bad["file"].as_str(), bad["line"].as_u64()),
            (Some("spec/a_spec.rb"), Some(4))
        );
        assert!(
            bad["message"].as_str().unwrap().contains("expected: 2"),
            "{bad}"
        );
        let outside = &ran.examples("spec/d_spec.rb")[0];
        assert!(
            outside["message"].as_str().unwrap().contains("outside"),
            "{outside}"
        );
    }
}

#[test]
fn non_ascii_names_are_unchanged() {
    let setup = Setup::new(1);
    let text = "RSpec.describe('Größe') { it('ist 漢字') { expect('é').to eq 'è' } }";
    setup.suite.file("spec/größe_spec.rb", text);
    for slave in [FORK, NONE] {
        let ran = setup.run(slave, &[]);
        let trial = ran.trial("spec/größe_spec.rb");
        assert_eq!(
            ran.verdict("spec/größe_spec.rb"),
            "failed 0 0 1",
            "{trial:?}"
        );
        let example = &ran.examples("spec/größe_spec.rb")[0];
        assert_eq!(example["id"], "spec/größe_spec.rb[1:1]", "{slave}");
        assert_eq!(example["name"], "Größe ist 漢字", "{slave}");
        let message = example["message"].as_str().unwrap();
        assert!(message.contains("expected: \"è\""), "{slave} {message}");
    }
}

#[test]
fn helpers_and_suite_hooks_run_exactly_once_per_runner() {
    let setup = Setup::new(1);
    std::fs::create_dir(setup.suite.path().join("spec")).unwrap();
    std::fs::write(
        setup.suite.path().join("spec/spec_helper.rb"),
        "def trace(word) = File.write('trace', \"#{word}\\n\", mode: 'a')\ntrace 'load'\nRSpec.configure { |c| c.before(:suite) { trace 'before' }; c.after(:suite) { trace 'after' } }",
    )
    .unwrap();
    for n in 0..4 {
        let text = "require 'spec_helper'\nRSpec.configure { |c| c.after(:suite) { trace 'own' } } if File.basename(__FILE__).include?('2')\nRSpec.describe('x') { it('y') { trace 'run' } }";
        setup.suite.file(&format!("spec/{n}_spec.rb"), text);
    }
    for (slave, expected) in [
        (FORK, "load before run run run own run after"),
        (NONE, "load before run run run run own after"),
    ] {
        let ran = setup.run(slave, &[]);
        assert_eq!(ran.done.receipt().succeeded, 4);
        let trace = eventually(PATIENCE, "the hooks after the suite", || {
            let lines = setup.suite.lines("trace");
            (lines.last()? == "after").then_some(lines)
        });
        assert_eq!(trace.join(" "), expected, "{slave}");
        std::fs::remove_file(setup.suite.path().join("trace")).unwrap();
    }
}

#[test]
fn a_failing_before_suite_hook_stops_the_run_and_is_reported() {
    let setup = Setup::new(1);
    std::fs::create_dir(setup.suite.path().join("spec")).unwrap();
    std::fs::write(
        setup.suite.path().join("spec/rails_helper.rb"),
        "RSpec.configure { |c| c.before(:suite) { raise 'no database' } }",
    )
    .unwrap();
    setup
        .suite
        .file("spec/a_spec.rb", "RSpec.describe('x') { it('y') { } }");
    let ran = setup.run(FORK, &[]);
    let receipt = ran.done.expect_code(1).receipt();
    let reason = receipt.fail_reason.as_deref().unwrap();
    assert!(reason.contains("exit code 1"), "{reason}");
}

#[test]
fn options_tags_and_ids_select_examples() {
    let setup = Setup::new(1);
    std::fs::write(
        setup.suite.path().join(".rspec"),
        "--format documentation\n--require ./extra\n",
    )
    .unwrap();
    std::fs::write(setup.suite.path().join("extra.rb"), "EXTRA = 1").unwrap();
    let text = "RSpec.describe('A') { it('one', :slow) { EXTRA }; it('two') { EXTRA }; it('three') { EXTRA } }";
    setup.suite.file("a_spec.rb[1:2]", "");
    setup.suite.file("a_spec.rb", text);
    setup
        .suite
        .file("fast_spec.rb", "RSpec.describe('F') { it('one') { } }");
    for isolation in ["fork", "none"] {
        let slave = format!("rrr-slave --adapter rspec --isolation {isolation} -- --tag slow");
        let ran = setup.run(&slave, &[]);
        assert_eq!(ran.verdict("a_spec.rb[1:2]"), "passed 1 0 0", "{isolation}");
        assert_eq!(ran.verdict("a_spec.rb"), "passed 1 0 0", "{isolation}");
        assert_eq!(ran.verdict("fast_spec.rb"), "pending 0 0 0", "{isolation}");
        let trial = ran.trial("fast_spec.rb");
        assert!(
            trial["stderr"].contains("no example of it is selected"),
            "{trial:?}"
        );
        let trial = ran.trial("a_spec.rb[1:2]");
        assert!(
            trial["stdout"].contains("A\n  two\n"),
            "documentation format: {trial:?}"
        );
    }
}

#[test]
fn forks_share_nothing_and_variables_reach_them() {
    let setup = Setup::new(1);
    let text = "RSpec.describe('x') { it('y') { expect(defined?($seen)).to be_nil; $seen = 1; expect(ENV['RRR_ATTEMPT']).to eq '1'; expect(ENV.key?('RRR_REDIS_URL')).to be false; expect(ENV.key?('TEST_ENV_NUMBER')).to be true } }";
    setup.suite.file("1_spec.rb", text).file("2_spec.rb", text);
    let ran = setup.run(FORK, &[]);
    assert_eq!(ran.verdict("1_spec.rb"), "passed 1 0 0");
    assert_eq!(ran.verdict("2_spec.rb"), "passed 1 0 0");
}

#[test]
fn without_forks_no_state_of_a_file_reaches_the_next() {
    let setup = Setup::new(1);
    for n in 10..50 {
        let text = "RSpec.describe('x') { it('y') { } }";
        setup.suite.file(&format!("spec/{n}_spec.rb"), text);
    }
    let counts = "RSpec.describe('z') { it('is alone') {
      GC.start
      groups = ObjectSpace.each_object(Class).count { |one| one < RSpec::Core::ExampleGroup }
      puts \"#{groups} groups\"
      expect(groups).to be < 10
    } }";
    setup.suite.file("spec/99_spec.rb", counts);
    let ran = setup.run(NONE, &[]);
    assert_eq!(ran.verdict("spec/99_spec.rb"), "passed 1 0 0");
}

#[test]
fn a_fork_loads_no_rspec_file_and_unused_parts_stay_unloaded() {
    let setup = Setup::new(1);
    let text = "before = $LOADED_FEATURES.dup\nRSpec.describe('x') { it('y') { expect([double(a: 1).a]).to include(1).and eq [1]; expect($LOADED_FEATURES - before).to eq [] } }";
    setup.suite.file("a_spec.rb", text);
    let ran = setup.run(FORK, &[]);
    let trial = ran.trial("a_spec.rb");
    assert_eq!(ran.verdict("a_spec.rb"), "passed 1 0 0", "{trial:?}");

    std::fs::write(
        setup.suite.path().join("own.rb"),
        "RSpec.configure { |c| c.mock_with :nothing; c.expect_with Module.new { def sure(it) = it || raise } }",
    )
    .unwrap();
    let text = "RSpec.describe('x') { it('y') { sure(!defined?(RSpec::Mocks) && !defined?(RSpec::Expectations)) } }";
    setup.suite.file("a_spec.rb", text);
    let ran = setup.run("rrr-slave --adapter rspec --preload own.rb", &[]);
    let trial = ran.trial("a_spec.rb");
    assert_eq!(ran.verdict("a_spec.rb"), "passed 1 0 0", "{trial:?}");
}
