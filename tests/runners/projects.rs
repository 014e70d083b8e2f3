//! Project settings: a project's own Ruby or Python, preloaded files, and fixtures that need their
//! worker's id.

use crate::setup::Setup;

#[test]
fn a_gemfile_means_bundle_exec() {
    let setup = Setup::new(1);
    let text = "RSpec.describe('x') { it('y') { expect(defined?(Bundler)).to be_truthy } }";
    setup.suite.file("a_spec.rb", text);
    // Without a source, bundler uses the installed gems and fetches nothing.
    std::fs::write(
        setup.suite.path().join("Gemfile"),
        "gem 'rspec-core'\ngem 'rspec-expectations'\n",
    )
    .unwrap();
    for isolation in ["fork", "none"] {
        let slave = format!("rrr-slave --adapter rspec --isolation {isolation}");
        let ran = setup.run(&slave, &[]);
        assert_eq!(
            ran.verdict("a_spec.rb"),
            "passed 1 0 0",
            "{:?}",
            ran.trial("a_spec.rb")
        );
    }
}

#[test]
fn a_virtual_environment_beside_the_suite_is_used() {
    let setup = Setup::new(1);
    let text = "import os\ndef test_x(): assert os.environ['OURS'] == 'yes'\n";
    setup.suite.file("test_a.py", text);
    let python = setup.suite.path().join(".venv/bin/python");
    std::fs::create_dir_all(python.parent().unwrap()).unwrap();
    std::fs::write(
        &python,
        "#!/bin/sh\nOURS=yes exec /usr/bin/python3 \"$@\"\n",
    )
    .unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, executable).unwrap();
    let ran = setup.run("rrr-slave --adapter pytest", &[]);
    assert_eq!(
        ran.verdict("test_a.py"),
        "passed 1 0 0",
        "{:?}",
        ran.trial("test_a.py")
    );
    // A named environment takes precedence.
    let other = "rrr-slave --adapter pytest --interpreter 'env OURS=no /usr/bin/python3'";
    assert_eq!(setup.run(other, &[]).verdict("test_a.py"), "failed 0 0 1");
}

#[test]
fn files_to_preload_are_loaded_once_and_in_order() {
    let setup = Setup::new(1);
    let write =
        |name: &str, text: &str| std::fs::write(setup.suite.path().join(name), text).unwrap();
    write(
        "one.rb",
        "ORDER = ['one']\nFile.write('loads', \"rb\\n\", mode: 'a')",
    );
    write("two.rb", "ORDER << 'two'");
    write("spec_helper.rb", "raise 'not this'");
    write(
        "first.py",
        "open('loads', 'a').write('py\\n')\nvalue = [1]\n",
    );
    write("second.py", "import first\nfirst.value.append(2)\n");
    let ruby = "RSpec.describe('x') { it('y') { expect(ORDER).to eq %w[one two] } }";
    let python = "import first\ndef test_x(): assert first.value == [1, 2]\n";
    let (spec, test) = (["a_spec.rb", "b_spec.rb"], ["test_a.py", "test_b.py"]);
    for isolation in ["fork", "none"] {
        write("loads", "");
        for (files, text, slave) in [
            (
                spec,
                ruby,
                "--adapter rspec --preload one.rb --preload two.rb",
            ),
            (
                test,
                python,
                "--adapter pytest --preload first.py --preload second.py",
            ),
        ] {
            files.iter().for_each(|file| write(file, text));
            let slave = format!("rrr-slave {slave} --isolation {isolation}");
            let ran = setup.submit(|submit| submit.args(["--slave", &slave]).args(files));
            for file in files {
                assert_eq!(ran.verdict(file), "passed 1 0 0", "{:?}", ran.trial(file));
            }
        }
        assert_eq!(setup.suite.lines("loads"), ["rb", "py"], "{isolation}");
    }
}

#[test]
fn fixtures_know_their_worker_as_under_xdist() {
    let setup = Setup::new(2);
    let text = "import os, pytest
@pytest.fixture(scope='session')
def database(request): return 'test_' + request.config.workerinput['workerid']
def test_x(database, request):
    assert database == 'test_' + os.environ['PYTEST_XDIST_WORKER'] == 'test_gw' + os.environ['SLAVE_NUMBER']
    assert request.config.workerinput['workercount'] == 2
";
    setup.suite.file("test_a.py", text).file("test_b.py", text);
    for isolation in ["fork", "none"] {
        let slave = format!("rrr-slave --adapter pytest --isolation {isolation}");
        let ran = setup.run(&slave, &[]);
        for file in ["test_a.py", "test_b.py"] {
            assert_eq!(ran.verdict(file), "passed 1 0 0", "{:?}", ran.trial(file));
        }
    }
}
