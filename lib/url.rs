//! URLs in messages.

/// The URL without its secrets: user, password, and a query that contains a password.
pub fn shown(url: &str) -> String {
    let open = match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}://{}", &url[..scheme], &url[at + 1..])
        }
        _ => url.to_owned(),
    };
    match open.split_once('?') {
        Some((place, query)) if query.contains("pass") => format!("{place}?…"),
        _ => open,
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn no_password_is_shown_wherever_it_stands() {
        for (url, expected) in [
            ("redis://user:secret@host:6379/1", "redis://host:6379/1"),
            ("redis://:se@cret@host", "redis://host"),
            (
                "unix:///run/r.sock?user=u&pass=secret",
                "unix:///run/r.sock?…",
            ),
            ("unix:///run/r.sock?db=1", "unix:///run/r.sock?db=1"),
            ("postgres://h/x?user=u&password=secret", "postgres://h/x?…"),
            (
                "postgres://u:secret@h/x?sslpassword=secret",
                "postgres://h/x?…",
            ),
            (
                "postgres://u@h/x?sslmode=require",
                "postgres://h/x?sslmode=require",
            ),
            ("sqlite:/tmp/a@b.db", "sqlite:/tmp/a@b.db"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
