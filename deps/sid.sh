# A server of Debian's sid, unpacked privately and run by its own ld.so ($cache/NAME/bin/PROGRAM does that), kept as a
# tarball beside it too. Sourced after lib.sh, never run. The archive's signature is the check, a version the floor.

newer() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # FLOOR VERSION

sid_ready() { [ -x "$cache/$1/bin/$2" ] && [ -f "$cache/$1/version" ]; } # NAME PROGRAM

sid_keep() { # NAME DIR: makes a finished tree the one in use
  local version
  version=$(cat "$2/version")
  rm -rf "${cache:?}/$1-$version"
  mv -T "$2" "$cache/$1-$version"
  ln -sfnT "$1-$version" "$cache/$1"
}

sid_kept() { # NAME: from the tarball of an earlier fetch, if there is one and it is whole
  local tarball
  tarball=$(find "$cache" -maxdepth 1 -name "$1-*.tar.zst" | sort -V | tail -n 1)
  [ -n "$tarball" ] && (cd "$cache" && sha256sum --status -c "$tarball.sha256" 2>/dev/null) || return 1
  begin unpack "${tarball##*/}, kept from an earlier fetch"
  mkdir "$work/$1"
  run "unpacking $tarball" tar --zstd -xf "$tarball" -C "$work/$1"
  sid_keep "$1" "$work/$1"
  ended
}

sid_candidate() { # PACKAGE FLOOR: the version that sid offers
  local candidate version
  candidate=$(apt-cache policy "$1" | sed -n 's/^ *Candidate: //p')
  version=${candidate%%-*}
  version=${version#*:}
  version=${version%%+*}
  [[ $version =~ ^[0-9.]+$ ]] || die "Debian sid offers no $1 today; install version $2 or newer yourself"
  newer "$2" "$version" || die "Debian sid's $1 is $version, older than $2; install a newer one yourself"
  echo "$version"
}

sid_download() { # NAME VERSION PACKAGES: into $work/apt-deb/cache/archives
  local bytes
  bytes=$(apt-get install --print-uris -y $3 | awk '/^\x27/ { sum += $3 } END { print int(sum) }')
  begin fetch "$1 $2, $(kb $((bytes / 1024))), Debian sid's packages"
  # A mirror may have moved on since it handed out its list: then the list is read once more.
  download() { apt-get -q -y -d install $packages || { apt-get -q update && apt-get -q -y -d install $packages; }; }
  packages=$3
  run "fetching $1 $2" download
  ended
}

sid_unpack() { # NAME VERSION sbin/PROGRAM ...: the first one is started once
  local tree=$work/$1 triplet loader program name=$1 version=$2
  shift 2
  begin unpack "$name $version, and pack it for the next time"
  mkdir -p "$tree/root" "$tree/bin"
  for deb in "$work"/apt-deb/cache/archives/*.deb; do
    case ${deb##*/} in
    perl* | libperl* | libgdbm* | libdb5* | libc-gconv* | systemd_* | libsystemd-shared*) ;;
    *) run "unpacking ${deb##*/}" dpkg -x "$deb" "$tree/root" ;;
    esac
  done
  echo "$version" >"$tree/version"
  triplet=$(gcc -print-multiarch)
  loader=$(cd "$tree" && find root -name 'ld-linux*.so.*' | sort | tail -n 1)
  [ -n "$loader" ] || die "the unpacked $name $version has no dynamic loader"
  for program; do
    cat >"$tree/bin/${program#*bin/}" <<END
#!/bin/sh
here=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
exec "\$here/$loader" --library-path "\$here/root/usr/lib/$triplet" "\$here/root/usr/$program" "\$@"
END
    chmod +x "$tree/bin/${program#*bin/}"
  done
  run "starting $name $version once" "$tree/bin/${1#*bin/}" ${SID_VERSION_FLAGS:---version}
  run "packing $name $version" tar --zstd -cf "$work/$name.tar.zst" -C "$tree" .
  (cd "$work" && sha256sum "$name.tar.zst" | sed "s/$name\.tar\.zst/$name-$version.tar.zst/") >"$work/sum"
  mv "$work/sum" "$cache/$name-$version.tar.zst.sha256"
  mv "$work/$name.tar.zst" "$cache/$name-$version.tar.zst"
  sid_keep "$name" "$tree"
  ended
}
