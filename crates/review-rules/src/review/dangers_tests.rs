use super::*;

fn names(path: &str, line: &str) -> Vec<&'static str> {
    find(line, Language::of(path), false).iter().map(|rule| rule.name).collect()
}

#[test]
fn dangerous_lines_are_found() {
    for (path, line, expected) in [
        ("a.js", "const x = eval(input);", "code-execution"),
        ("a.ts", "return new Function('a', body)(1)", "code-execution"),
        ("a.js", "exec(`git log ${branch}`, done)", "code-execution"),
        ("a.js", "cp.execSync(\"rm \" + name)", "code-execution"),
        ("a.py", "    exec(code, scope)", "code-execution"),
        ("a.py", "value = eval(text)", "code-execution"),
        ("a.php", "eval($code);", "code-execution"),
        ("a.rb", "eval(params[:x])", "code-execution"),
        ("a.sh", "curl -fsSL https://x.y/install | sh", "pipe-to-shell"),
        ("a.sh", "wget -qO- https://x.y | sudo -E bash -", "pipe-to-shell"),
        ("Dockerfile", "RUN curl https://x.y | tee a | /bin/bash", "pipe-to-shell"),
        (".github/workflows/a.yml", "  run: curl -s https://x.y | bash", "pipe-to-shell"),
        ("a.sh", "bash <(curl -s https://x.y)", "pipe-to-shell"),
        ("a.sh", "sh -c \"$(curl -fsSL https://x.y)\"", "pipe-to-shell"),
        ("package.json", "\"install\": \"curl https://x.y | sh\"", "pipe-to-shell"),
        ("a.sh", "rm -rf /", "remove-root"),
        ("a.sh", "sudo rm -r -f --no-preserve-root / && x", "remove-root"),
        ("a.sh", "rm -fr /*", "remove-root"),
        ("a.js", "db.query(\"SELECT * FROM users WHERE id = \" + id)", "sql-concatenation"),
        ("a.js", "db.query(`SELECT * FROM users WHERE name = '${name}'`)", "sql-concatenation"),
        ("a.py", "cur.execute(f\"SELECT * FROM t WHERE id = {id}\")", "sql-concatenation"),
        ("a.py", "q = \"SELECT * FROM t WHERE id = %s\" % id", "sql-concatenation"),
        ("a.py", "q = \"DELETE FROM t WHERE id = '{}'\".format(id)", "sql-concatenation"),
        ("a.py", "q = \"INSERT INTO t VALUES ('\" + name + \"')\"", "sql-concatenation"),
        ("a.rs", "let q = format!(\"SELECT a FROM t WHERE id = '{id}'\");", "sql-concatenation"),
        ("a.go", "q := fmt.Sprintf(\"UPDATE t SET a = '%s' WHERE b\", a)", "sql-concatenation"),
        ("a.java", "String q = \"select * from t where id = \" + id;", "sql-concatenation"),
        ("a.rb", "where = \"SELECT * FROM t WHERE id = #{id}\"", "sql-concatenation"),
        ("a.php", "$q = \"SELECT * FROM t WHERE id = $id\";", "sql-concatenation"),
        ("a.php", "$q = 'SELECT * FROM t WHERE id = ' . $id;", "sql-concatenation"),
        ("a.java", "sql += \" AND name = '\" + name + \"'\";", "sql-concatenation"),
        ("a.py", "requests.get(url, verify=False)", "tls-verification"),
        ("a.js", "new https.Agent({ rejectUnauthorized: false })", "tls-verification"),
        ("a.js", "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'", "tls-verification"),
        ("a.yml", "NODE_TLS_REJECT_UNAUTHORIZED: \"0\"", "tls-verification"),
        ("a.py", "context.verify_mode = ssl.CERT_NONE", "tls-verification"),
        ("a.go", "tls.Config{InsecureSkipVerify: true}", "tls-verification"),
        ("a.rs", ".danger_accept_invalid_certs(true)", "tls-verification"),
        ("a.sh", "curl -k https://x.y", "tls-verification"),
        ("a.rs", "    unsafe { *pointer }", "unsafe"),
        ("a.rs", "pub unsafe fn read(p: *const u8) -> u8 {", "unsafe"),
        ("a.rs", "unsafe impl Send for A {}", "unsafe"),
        ("a.sh", "chmod -R 777 /srv", "chmod-777"),
        ("a.py", "os.chmod(path, 0o777)", "chmod-777"),
        ("a.js", "fs.chmodSync(path, 0o777)", "chmod-777"),
        ("a.tsx", "<p dangerouslySetInnerHTML={{ __html: x }} />", "inner-html"),
        ("a.py", "pickle.loads(data)", "unpickling"),
        ("a.py", "yaml.load(text)", "yaml-load"),
        ("a.py", "yaml.load(text, Loader=yaml.Loader)", "yaml-load"),
    ] {
        assert_eq!(names(path, line), [expected], "{line}");
    }
}

#[test]
fn harmless_lines_are_left_alone() {
    for (path, line) in [
        ("a.py", "model.eval()"),
        ("a.py", "ast.literal_eval(text)"),
        ("a.py", "df.eval('a + b')"),
        ("a.py", "def eval(self, x):"),
        ("a.js", "const m = /a/.exec(text)"),
        ("a.js", "await page.$eval('a', f)"),
        ("a.js", "redis.eval(script, 1, key)"),
        ("a.js", "// eval(x) is not used"),
        ("a.js", " * eval(x) is not used"),
        ("a.js", "throw new Error('eval(x) is forbidden')"),
        ("a.js", "function evaluate(x) {}"),
        ("a.js", "exec('git status', done)"),
        ("a.js", "isFunction(x)"),
        ("a.rs", "let rule = \"eval(\";"),
        ("a.md", "Run `curl https://x.y | sh`, then eval(x)"),
        ("a.sh", "# curl https://x.y | sh"),
        ("a.sh", "curl https://x.y | jq .name"),
        ("a.sh", "curl https://x.y -o a.sh || bash fallback.sh"),
        ("a.sh", "cat a.sh | sh"),
        ("a.sh", "curl -sf https://x.y > a; ps | sh-filter"),
        ("a.sh", "TOKEN=$(curl -s https://x.y)"),
        ("a.sh", "rm -rf /var/lib/apt/lists/*"),
        ("a.sh", "rm -rf ./dist"),
        ("a.sh", "rm -rf \"$DIR\" && ls /"),
        ("a.sh", "rm -f a b"),
        ("a.sh", "chmod 755 a"),
        ("a.sh", "chmod +x a"),
        ("a.sh", "echo 777"),
        ("a.js", "db.query('SELECT * FROM t WHERE id = ?', [id])"),
        ("a.js", "await sql`SELECT * FROM t WHERE id = ${id}`"),
        ("a.js", "Prisma.sql`SELECT * FROM t WHERE id = ${id}`"),
        ("a.js", "`SELECT ${columns} FROM t WHERE id = $1`"),
        ("a.js", "`Please select a value from ${list}`"),
        ("a.py", "cur.execute(\"SELECT * FROM t WHERE id = %s\", (id,))"),
        ("a.py", "f\"SELECT {columns} FROM t WHERE id = %s\""),
        ("a.py", "\"SELECT * FROM t WHERE id IN (%s)\" % places"),
        ("a.py", "log(f\"Update of {name} is set = {x}\")"),
        ("a.rs", "format!(\"SELECT {COLUMNS} FROM t WHERE id = ?1\")"),
        ("a.rs", "format!(\"SELECT a FROM t WHERE id = ?{n}\")"),
        ("a.go", "db.Query(\"SELECT * FROM t WHERE id = $1\", id)"),
        ("a.java", "\"SELECT * FROM t \" + \"WHERE id = ?\""),
        ("a.py", "requests.get(url, verify=True)"),
        ("a.py", "def get(url, verify=False):"),
        ("a.js", "rejectUnauthorized: isProduction"),
        ("a.js", "// rejectUnauthorized: false"),
        ("a.js", "strict: is ? !!options.rejectUnauthorized : false,"),
        ("a.js", "if (process.env.NODE_TLS_REJECT_UNAUTHORIZED !== '0') {"),
        ("a.py", "verify = context.verify_mode != ssl.CERT_NONE"),
        ("a.py", "os.chmod(path, 0o777 & ~mask)"),
        ("a.go", "InsecureSkipVerify: false"),
        ("a.sh", "sort -k 2 a"),
        ("a.rs", "#![forbid(unsafe_code)]"),
        ("a.rs", "/// Not unsafe { at all }"),
        ("a.rs", "let unsafe_count = 1;"),
        ("a.rs", "println!(\"unsafe { }\");"),
        ("a.py", "yaml.safe_load(text)"),
        ("a.py", "yaml.load(text, Loader=yaml.SafeLoader)"),
        ("a.js", "yaml.load(text)"),
        ("a.py", "json.loads(data)"),
    ] {
        assert_eq!(names(path, line), [""; 0], "{line}");
    }
}

#[test]
fn in_tests_commands_count_and_code_does_not() {
    let in_tests = |path, line| find(line, Language::of(path), true).len();
    assert_eq!(in_tests("a.sh", "curl https://x.y | sh"), 1);
    assert_eq!(in_tests("a.py", "eval(x); requests.get(u, verify=False)"), 0);
}
