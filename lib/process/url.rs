//! URLs in messages.

/// The URL without its secrets: user, password, and a query that contains a password.
pub(crate) fn shown(url: &str) -> String {
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

/// The URL of a Redis without its password. Its user stays.
pub(crate) fn without_password(url: &str) -> String {
    let (place, query) = match url.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (url, None),
    };
    let start = place.find("://").map_or(0, |at| at + 3);
    let end = place[start..]
        .find('/')
        .map_or(place.len(), |at| start + at);
    let mut open = place[..start].to_owned();
    match place[start..end].rsplit_once('@') {
        Some((login, host)) => {
            let user = login.split(':').next().unwrap_or_default();
            if !user.is_empty() {
                open.push_str(user);
                open.push('@');
            }
            open.push_str(host);
        }
        None => open.push_str(&place[start..end]),
    }
    open.push_str(&place[end..]);
    let rest = query.unwrap_or_default().split('&');
    let rest: Vec<_> = rest.filter(|pair| !pair.starts_with("pass=")).collect();
    if !rest.concat().is_empty() {
        open.push('?');
        open.push_str(&rest.join("&"));
    }
    open
}

#[cfg(test)]
mod tests {
    use super::{shown, without_password};

    #[test]
    fn a_password_is_removed_but_its_user_is_kept() {
        for (url, expected) in [
            (
                "redis://user:se:cret@host:6379/1",
                "redis://user@host:6379/1",
            ),
            ("rediss://:se@cret@host", "rediss://host"),
            ("redis://user@host/", "redis://user@host/"),
            ("redis://h:1?protocol=resp3", "redis://h:1?protocol=resp3"),
            (
                "unix:///run/a@b:c.sock?user=u&pass=x&db=1",
                "unix:///run/a@b:c.sock?user=u&db=1",
            ),
            ("unix:///run/r.sock?pass=x", "unix:///run/r.sock"),
            (
                "redis+sentinel://u:p@a:1,b:2/m/1",
                "redis+sentinel://u@a:1,b:2/m/1",
            ),
        ] {
            assert_eq!(without_password(url), expected);
        }
    }

    #[test]
    fn a_password_is_hidden_wherever_it_appears() {
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
