#!/usr/bin/perl
# Appends numbered lines to FILE, which it keeps open, each with fsync, and notes in DIARY which were acknowledged; ends when
# a call fails.
#
#   appender.pl FILE DIARY PAUSE
#
# PAUSE: ms between two lines.
#
# Lines of the diary: "ack N TIME": line N was written and synced by then, ns since 1970. "ended WHY": a call failed with
# this error.
use strict;
use warnings;
use Fcntl;
use IO::Handle;

my ($file, $diary, $pause) = @ARGV;
sysopen(my $notes, $diary, O_WRONLY | O_CREAT | O_TRUNC) or die "$diary: $!";
sub note {
  my $line = "@_\n";
  defined syswrite($notes, $line) && $notes->sync or die "$diary: $!";
}
sub now {
  my $time = pack('q2', 0, 0);
  syscall(228, 0, $time) == 0 or die "clock_gettime: $!";
  my ($s, $ns) = unpack('q2', $time);
  return $s * 1_000_000_000 + $ns;
}
sub ended { note('ended', "$!"); exit 0; }

sysopen(my $out, $file, O_WRONLY | O_CREAT | O_APPEND) or ended();
for (my $number = 1; ; $number++) {
  my $line = sprintf("%08d %s\n", $number, 'x' x ($number % 4000));
  my $written = syswrite($out, $line);
  defined $written && $written == length $line or ended();
  $out->sync or ended();
  note('ack', $number, now());
  select(undef, undef, undef, $pause / 1000);
}
