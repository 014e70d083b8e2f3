# sbom.jq: lists the components of the programs as CycloneDX. Reads the output of cargo metadata for one
# target. That includes crates needed only by tests, so cargo tree decides which crates are built.
#
#   cargo metadata --format-version 1 --filter-platform TARGET |
#       jq --rawfile lock Cargo.lock --arg tree "$(cargo tree --target TARGET -e normal,build --prefix none)" \
#          --arg sqlite VERSION --argjson time SECONDS -f scripts/lib/sbom.jq

def purl: "pkg:cargo/\(.name)@\(.version | @uri)";
def licences: if .license then [{expression: .license | gsub("/"; " OR ")}] else [] end;
def component($type): {
    type: $type, "bom-ref": purl, name, version, description, licenses: licences, purl: purl
} | del(.[] | select(. == null));

(.packages | INDEX(.id)) as $packages
| (.resolve.nodes | INDEX(.id)) as $nodes
| .resolve.root as $root
| ($tree | [scan("(\\S+) v([0-9]\\S*)")] | INDEX("\(.[0])@\(.[1])")) as $built
| def built: $packages[.] | $built["\(.name)@\(.version)"] != null;
  def needs: [$nodes[.].deps[] | select(any(.dep_kinds[]; .kind != "dev")) | .pkg | select(built)];
  def closed: (. + map(needs[]) | unique) as $more
      | if ($more | length) == length then . else ($more | closed) end;
  ([$root] | closed) as $all
| ($lock
    | [scan("name = \"([^\"]+)\"\nversion = \"([^\"]+)\"\nsource = \"[^\"]+\"\nchecksum = \"([0-9a-f]{64})\"")]
    | INDEX("\(.[0])@\(.[1])")) as $sums
# The only library that a crate bundles as source under another name and version.
| {
    type: "library", "bom-ref": "pkg:generic/sqlite@\($sqlite)", name: "sqlite", version: $sqlite,
    licenses: [{expression: "blessing"}], purl: "pkg:generic/sqlite@\($sqlite)"
  } as $bundled
| {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {timestamp: ($time | todate), component: ($packages[$root] | component("application"))},
    components: ([
        $all[] | select(. != $root) | $packages[.]
        | component("library")
        + {hashes: [{alg: "SHA-256", content: $sums["\(.name)@\(.version)"][2]}]}
    ] + [$bundled]),
    dependencies: ([
        $all[] as $id | $packages[$id] | {
            ref: purl,
            dependsOn: ([$id | needs[] | $packages[.] | purl]
                + (if .name == "libsqlite3-sys" then [$bundled.purl] else [] end) | unique)
        }
    ] + [{ref: $bundled.purl, dependsOn: []}])
}
