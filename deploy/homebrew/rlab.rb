# Homebrew on Linux: rlab needs /proc and Linux's signals. `url` and `sha256` are of the archive that you publish: deploy/README.md.
# librdkafka and hiredis come from the pins of deps/, not from brew, so that verdicts rest on one version.
class Rlab < Formula
  desc "Scriptable reliability lab for Kafka, MySQL and Redis"
  license "Apache-2.0"
  version "0.1.0"
  url ENV.fetch("RLAB_ARCHIVE_URL")
  sha256 ENV.fetch("RLAB_ARCHIVE_SHA256")

  depends_on "lua-argparse" => :build
  depends_on "node" => :build
  depends_on "pkgconf" => :build
  depends_on "avro-c"
  depends_on "cjson"
  depends_on "curl"
  depends_on "libedit"
  depends_on "libmicrohttpd"
  depends_on "libuv"
  depends_on :linux
  depends_on "lua"
  depends_on "mariadb-connector-c"
  depends_on "openjdk"
  depends_on "openssl@3"
  depends_on "redis"
  depends_on "utf8proc"
  depends_on "zlib"
  depends_on "zstd"

  def install
    system "make", "all"
    system "make", "install", "PREFIX=#{prefix}"
  end

  test do
    assert_match "E-001", shell_output("#{bin}/rlab list")
    assert_match version.to_s, shell_output("#{bin}/rlab --version")
  end
end
