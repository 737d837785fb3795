#!/usr/bin/perl
# A client of a shared volume that keeps a diary of what was acknowledged to it; `check-run.ts` compares the diaries
# with the volume. Perl, because debian:trixie-slim has it and it can fsync, flock and read the clock without forking.
#
#   worker.pl VOLUME-DIRECTORY DIARY-DIRECTORY NAME [PAUSE-MS]
#
# Lines of the diary (times are ns since 1970, the same clock on all hosts of the lab):
#   ack SEQ START END            record SEQ was written and synced
#   turn TICKET ENTER LEAVE      held the lock and got TICKET, a counter that only holders of the lock raise
#   seen NAME COUNT TIME         so many whole records of another worker were there
#   error WHAT                   a call failed; the run is spoilt unless the test expects it
# It ends after the turn in which the file NAME.stop appears in the diary directory.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :flock :seek);
use IO::Handle;

my ($volume, $diaries, $name, $pause) = @ARGV;
$pause = 100 unless defined $pause;

sub now {
  my $time = pack('q2', 0, 0);
  syscall(228, 0, $time) == 0 or die "clock_gettime: $!";
  my ($s, $ns) = unpack('q2', $time);
  return $s * 1_000_000_000 + $ns;
}

sysopen(my $diary, "$diaries/$name.diary", O_WRONLY | O_CREAT | O_APPEND) or die "diary: $!";
sub note {
  my $line = join(' ', @_) . "\n";
  syswrite($diary, $line) == length $line or die "diary: $!";
  $diary->sync or die "diary: $!";
}
sub failed { note('error', @_, "$!"); }

# The sum makes a torn or mixed line visible.
sub sum { return unpack('%32C*', $_[0]); }

my $seq = 0;
if (open(my $before, '<', "$diaries/$name.diary")) {
  while (<$before>) { $seq = $1 if /^ack (\d+)/; }
}
# A record can be in the volume although its diary entry was lost with the power: its number is not given again.
if (open(my $before, '<', "$volume/log.$name")) {
  while (<$before>) { $seq = $1 if /^\Q$name\E (\d+) .*\n$/ && $1 > $seq; }
}
my $session = now();
note('start', $session);

sub append {
  my $text = "$name " . ($seq + 1) . " $session";
  my $start = now();
  sysopen(my $log, "$volume/log.$name", O_WRONLY | O_CREAT | O_APPEND) or return failed('open');
  my $line = $text . ' ' . sum($text) . "\n";
  my $written = syswrite($log, $line);
  defined $written && $written == length $line or return failed('write');
  $log->sync or return failed('fsync');
  close $log or return failed('close');
  $seq++;
  note('ack', $seq, $start, now());
}

sub take_turn {
  sysopen(my $turns, "$volume/turns", O_RDWR | O_CREAT) or return failed('open turns');
  flock($turns, LOCK_EX) or return failed('flock');
  my $enter = now();
  my $ticket = 0;
  sysread($turns, my $text, 32);
  $ticket = $1 if defined $text && $text =~ /^(\d+)/;
  $ticket++;
  sysseek($turns, 0, SEEK_SET);
  my $line = sprintf("%-31d\n", $ticket);
  my $written = syswrite($turns, $line);
  defined $written && $written == 32 or return failed('write turns');
  $turns->sync or return failed('fsync turns');
  my $leave = now();
  flock($turns, LOCK_UN) or return failed('unlock');
  close $turns or return failed('close turns');
  note('turn', $ticket, $enter, $leave);
}

sub read_others {
  opendir(my $directory, $volume) or return failed('opendir');
  for my $file (sort grep { /^log\./ && $_ ne "log.$name" } readdir $directory) {
    open(my $log, '<', "$volume/$file") or return failed("open $file");
    my $count = 0;
    while (<$log>) { $count++ if /\n$/; }
    close $log;
    note('seen', substr($file, 4), $count, now());
  }
  closedir $directory;
}

until (-e "$diaries/$name.stop") {
  append();
  take_turn();
  read_others() if $seq % 5 == 0;
  select(undef, undef, undef, $pause / 1000) if $pause;
}
note('end', now());
