//! The functions of lib/: each fits on a screen, and its branches are not deeply nested.

use crate::{only, sources};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The maximum number of lines of a function, from its signature to its last brace.
const LINES: usize = 60;
/// The maximum number of branches, loops and closures around a statement.
const NESTING: usize = 4;

/// Functions that are still too long, as `FILE: NAME`, and why.
const LONG: &[&str] = &[
    // Unit tests: one report as input, and its examples.
    "lib/exec/report/go/tests.rs: a_passed_package_passes_its_unfinished_tests",
    "lib/exec/report/junit/tests.rs: one_test_is_one_example_in_each_dialect_of_reruns",
];

/// Functions that are still nested too deeply, as `FILE: NAME`, and why.
const DEEP: &[&str] = &[];

/// One function of a file.
#[derive(Debug, PartialEq)]
struct Function {
    name: String,
    lines: usize,
    nesting: usize,
}

/// Collects the functions of a file; those inside of others count for both.
#[derive(Default)]
struct Functions {
    found: Vec<Function>,
    /// The constructs around the current expression, and their maximum in the current function.
    depth: usize,
    deepest: usize,
}

impl Functions {
    fn of(text: &str) -> Vec<Function> {
        let mut functions = Self::default();
        functions.visit_file(&syn::parse_file(text).expect("Rust"));
        functions.found
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let around = (self.depth, self.deepest);
        (self.depth, self.deepest) = (0, 0);
        visit::visit_block(self, block);
        let first = signature.span().start().line;
        self.found.push(Function {
            name: signature.ident.to_string(),
            lines: block.brace_token.span.close().end().line + 1 - first,
            nesting: self.deepest,
        });
        (self.depth, self.deepest) = around;
    }

    fn inside(&mut self, visit: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        visit(self);
        self.depth -= 1;
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
    }

    fn visit_expr_if(&mut self, branch: &'ast syn::ExprIf) {
        self.visit_expr(&branch.cond);
        self.inside(|it| it.visit_block(&branch.then_branch));
        match branch.else_branch.as_ref().map(|(_, other)| &**other) {
            // `else if` is on the level of its `if`.
            Some(syn::Expr::If(other)) => self.visit_expr_if(other),
            Some(syn::Expr::Block(other)) => self.inside(|it| it.visit_block(&other.block)),
            _ => {}
        }
    }

    fn visit_expr_match(&mut self, choice: &'ast syn::ExprMatch) {
        self.visit_expr(&choice.expr);
        for arm in &choice.arms {
            self.inside(|it| match &*arm.body {
                // The braces of an arm are not a level of their own.
                syn::Expr::Block(body) => it.visit_block(&body.block),
                body => it.visit_expr(body),
            });
        }
    }

    fn visit_expr_for_loop(&mut self, repeated: &'ast syn::ExprForLoop) {
        self.visit_expr(&repeated.expr);
        self.inside(|it| it.visit_block(&repeated.body));
    }

    fn visit_expr_while(&mut self, repeated: &'ast syn::ExprWhile) {
        self.visit_expr(&repeated.cond);
        self.inside(|it| it.visit_block(&repeated.body));
    }

    fn visit_expr_loop(&mut self, repeated: &'ast syn::ExprLoop) {
        self.inside(|it| it.visit_block(&repeated.body));
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        self.inside(|it| it.visit_block(&block.block));
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.inside(|it| it.visit_block(&block.block));
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.inside(|it| match &*closure.body {
            syn::Expr::Block(body) => it.visit_block(&body.block),
            body => it.visit_expr(body),
        });
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let Some(init) = &local.init else { return };
        self.visit_expr(&init.expr);
        if let Some((_, other)) = &init.diverge {
            self.visit_expr(other);
        }
    }
}

/// `FILE: NAME` of the functions of lib/ that are too `much`.
fn breaking(much: impl Fn(&Function) -> bool) -> Vec<String> {
    let mut names = Vec::new();
    for source in sources("lib", ".rs") {
        let too_much = Functions::of(&source.text).into_iter().filter(&much);
        names.extend(too_much.map(|function| format!("{}: {}", source.path, function.name)));
    }
    names
}

#[test]
fn a_function_has_at_most_sixty_lines() {
    let long = breaking(|function| function.lines > LINES);
    only(LONG, long, "a function has at most 60 lines");
}

#[test]
fn a_function_is_nested_at_most_four_deep() {
    let deep = breaking(|function| function.nesting > NESTING);
    only(DEEP, deep, "a function is nested at most 4 deep");
}

#[test]
fn lines_and_nesting_of_functions_are_measured() {
    let text = "
impl Queue {
    /// Its comment does not count.
    fn pop(&self) {
        let Some(head) = self.head() else {
            return;
        };
        for word in head {
            if word.is_empty() {
            } else if word == \"last\" {
                match word {
                    _ => { let all = || loop { drop(word) }; }
                }
            }
        }
    }
}
fn one() {}
";
    let function = |name: &str, lines, nesting| Function {
        name: name.to_owned(),
        lines,
        nesting,
    };
    let expected = [function("pop", 13, 5), function("one", 1, 0)];
    assert_eq!(Functions::of(text), expected);
}
