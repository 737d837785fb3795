#!/usr/bin/perl
# Appends numbered lines to FILE, each with fsync, and notes in DIARY which were acknowledged; ends when a call fails.
#
#   block-writer.pl FILE DIARY
#
# Lines of the diary: "ack N": line N was written and synced. "ended WHY": a call failed with this error.
use strict;
use warnings;
use Fcntl;
use IO::Handle;

my ($file, $diary) = @ARGV;
sysopen(my $notes, $diary, O_WRONLY | O_CREAT | O_TRUNC) or die "$diary: $!";
sub note {
  my $line = "@_\n";
  defined syswrite($notes, $line) && $notes->sync or die "$diary: $!";
}
sub ended { note('ended', "$!"); exit 0; }

sysopen(my $out, $file, O_WRONLY | O_CREAT | O_APPEND) or ended();
for (my $number = 1; ; $number++) {
  my $line = sprintf("%08d %s\n", $number, 'x' x ($number % 4000));
  my $written = syswrite($out, $line);
  defined $written && $written == length $line or ended();
  $out->sync or ended();
  note('ack', $number);
  select(undef, undef, undef, 0.02);
}
