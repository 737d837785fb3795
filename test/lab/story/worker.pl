#!/usr/bin/perl
# A client of a shared volume that keeps a diary of what was acknowledged to it; `check-run.ts` compares the diaries
# with the volume. Perl, because debian:trixie-slim has it and it can fsync, lock and read the clock without forking. What
# others wrote is read by `worker-reads.pl`.
#
#   worker.pl VOLUME-DIRECTORY DIARY-DIRECTORY NAME [PAUSE-MS]
#
# Its files in the volume, all of lines that end in a sum of their bytes:
#   log.NAME        numbered records, appended and synced one by one
#   turns.flock, turns.fcntl   the ledgers: who held the lock. Lines of $width bytes:
#                     enter|leave TICKET NAME SESSION SEQ VERSION GENERATION SUM
#                   Both are written by the holder inside its turn, so their order in the file proves who was inside when.
#                   SEQ, VERSION and GENERATION promise: so much of mine was acknowledged before, whoever reads this sees it.
#   state.NAME      one line with VERSION, replaced by rename
#   cycle.NAME      lines of one GENERATION; truncated and begun again with the next
#   entries/NAME.N  files that come and go, to be listed
#
# Lines of the diary (times are ns since 1970 by this host's clock, only used to tell how long things took):
#   ack SEQ START END                 record SEQ was written and synced
#   turn LOCK TICKET ENTER LEAVE      held LOCK (flock or fcntl), got TICKET, left again
#   robbed LOCK TICKET                inside its turn it found that somebody else had entered
#   seen KIND NAME NUMBER PROMISED TIME   another worker's newest NUMBER of KIND (log, state, cycle, entry) as it is to be seen
#   put VERSION                       replaced and synced
#   cutting GENERATION, cut GENERATION   is about to truncate; truncated, began GENERATION, synced
#   made N, drop N, gone N, list N,N  an entry was made, is about to be removed, was removed; its own entries as listed
#   again WHAT                        a call failed because the request had been carried out before the server was lost
#   did START END                     one of the rarer things was done
#   error TIME WHAT                   a call failed; the run is spoilt unless the test expects it
# It ends after the round in which the file NAME.stop appears in the diary directory.
use strict;
use warnings;
use Errno qw(ENOENT EEXIST);
use Fcntl qw(:DEFAULT :flock :seek);
use File::Basename qw(dirname);
use IO::Handle;

our ($volume, $diaries, $name, $pause) = @ARGV;
$pause = 100 unless defined $pause;
our $width = 96;
my ($entries_kept, $cycle_lines) = (4, 6);

sub now {
  my $time = pack('q2', 0, 0);
  syscall(228, 0, $time) == 0 or die "clock_gettime: $!";
  my ($s, $ns) = unpack('q2', $time);
  return $s * 1_000_000_000 + $ns;
}

# The sum makes a torn or mixed line visible.
sub summed { return join(' ', @_) . ' ' . unpack('%32C*', join(' ', @_)); }
sub fields {
  my ($line) = @_;
  return () unless defined $line && $line =~ /^(.*) (\d+) *\n$/ && unpack('%32C*', $1) == $2;
  return split(/ /, $1);
}

sysopen(my $diary, "$diaries/$name.diary", O_RDWR | O_CREAT | O_APPEND) or die "diary: $!";
# Two of the same name would give each number twice; an engine that comes back may start the next before the last is gone.
flock($diary, LOCK_EX) or die "diary: $!";
sub note {
  my $line = join(' ', @_) . "\n";
  my $written = syswrite($diary, $line);
  defined $written && $written == length $line or die "diary: $!";
  $diary->sync or die "diary: $!";
}
# Always false, so that "or return failed(...)" ends what failed.
sub failed { my $why = "$!"; note('error', now(), @_, $why); return 0; }

my ($cycle, $entry) = (0, 0);
# What was acknowledged to us, by kind, and the newest number ever given; a change that failed has used its number up.
my %acked = (log => 0, state => 0, cycle => 0);
my %mine;
if (open(my $before, '<', "$diaries/$name.diary")) {
  my %kind = (ack => 'log', put => 'state', cut => 'cycle');
  while (<$before>) {
    if (/^(ack|put|cut) (\d+)/) { $acked{$kind{$1}} = $2 }
    elsif (/^made (\d+)/) { $entry = $1; $mine{$1} = 1 }
    elsif (/^drop (\d+)/) { delete $mine{$1} }
  }
}
# A change can be in the volume although its diary entry was lost with the power: its number is not given again.
sub last_in {
  my ($kind) = @_;
  my $last = $acked{$kind};
  open(my $handle, '<', "$volume/$kind.$name") or return $last;
  while (my $line = <$handle>) {
    my (undef, $number) = fields($line);
    $last = $number if defined $number && $number > $last;
  }
  return $last;
}
my ($seq, $version, $generation) = map { last_in($_) } qw(log state cycle);
mkdir("$volume/entries") or $! == EEXIST or die "entries: $!";
opendir(my $entries, "$volume/entries") or die "entries: $!";
for my $file (readdir $entries) { $entry = $1 if $file =~ /^\Q$name\E\.(\d+)$/ && $1 > $entry }
closedir $entries;
my $session = now();
note('start', $session);

sub append {
  my $start = now();
  my $line = summed($name, ++$seq, $session) . "\n";
  sysopen(my $log, "$volume/log.$name", O_WRONLY | O_CREAT | O_APPEND) or return failed('open log');
  my $written = syswrite($log, $line);
  defined $written && $written == length $line or return failed('write log');
  $log->sync or return failed('fsync log');
  close $log or return failed('close log');
  $acked{log} = $seq;
  note('ack', $seq, $start, now());
  return 1;
}

# What the calls that take and give back a lock are, by its kind. A lock of fcntl covers the whole file.
sub flock_struct { return pack('s s x4 q q i x4', $_[0], SEEK_SET, 0, 0, 0); }
my %take = (
  flock => sub { flock($_[0], LOCK_EX) },
  fcntl => sub { fcntl($_[0], F_SETLKW, flock_struct(F_WRLCK)) },
);
my %give_back = (
  flock => sub { flock($_[0], LOCK_UN) },
  fcntl => sub { fcntl($_[0], F_SETLK, flock_struct(F_UNLCK)) },
);

sub last_line {
  my ($handle) = @_;
  my $size = sysseek($handle, 0, SEEK_END);
  return '' if !defined $size || $size < $width;
  sysseek($handle, $size - $width, SEEK_SET) && defined sysread($handle, my $line, $width) or return undef;
  return $line;
}

sub enter_in_ledger {
  my ($handle, @fields) = @_;
  my $line = sprintf("%-*s\n", $width - 1, summed(@fields, $name, $session, @acked{qw(log state cycle)}));
  defined sysseek($handle, 0, SEEK_END) or return 0;
  my $written = syswrite($handle, $line);
  return defined $written && $written == $width && $handle->sync ? $line : 0;
}

sub take_turn {
  my ($kind) = @_;
  my $file = "$volume/turns.$kind";
  sysopen(my $ledger, $file, O_RDWR | O_CREAT) or return failed("open $kind");
  $take{$kind}->($ledger) or return failed("take $kind");
  my $enter = now();
  my $last = last_line($ledger);
  return failed("read $kind") unless defined $last;
  my $ticket = ((fields($last))[1] // 0) + 1;
  my $mark = enter_in_ledger($ledger, 'enter', $ticket) or return failed("enter $kind");
  # Opened anew, so that the answer comes from the server and not from this host's cache. Not closed before the lock
  # is given back: closing any handle of a file drops a process's fcntl locks on it.
  sysopen(my $again, $file, O_RDONLY) or return failed("reopen $kind");
  my $found = last_line($again);
  return failed("read again $kind") unless defined $found;
  note('robbed', $kind, $ticket) if $found ne $mark;
  enter_in_ledger($ledger, 'leave', $ticket) or return failed("leave $kind");
  my $leave = now();
  $give_back{$kind}->($ledger) or return failed("give back $kind");
  close $ledger or return failed("close $kind");
  note('turn', $kind, $ticket, $enter, $leave);
  return 1;
}

# An NFS server remembers its answers in memory alone. A request that was carried out, but whose answer was lost with the
# server, is sent again to the next one, which finds it done: no error of the volume, and to be counted apart.
sub is_repeated {
  my ($what, $is_done) = @_;
  note('again', $what) if $is_done;
  return $is_done;
}

sub replace {
  my $next = ++$version;
  sysopen(my $new, "$volume/state.$name.new", O_WRONLY | O_CREAT | O_TRUNC) or return failed('open state');
  my $line = summed($name, $next) . "\n";
  my $written = syswrite($new, $line);
  defined $written && $written == length $line or return failed('write state');
  $new->sync && close $new or return failed('fsync state');
  rename("$volume/state.$name.new", "$volume/state.$name")
    or is_repeated('rename', $! == ENOENT && last_in('state') == $next)
    or return failed('rename state');
  sync_directory($volume) or return failed('fsync of the directory of state');
  $acked{state} = $next;
  note('put', $next);
  return 1;
}

sub sync_directory {
  sysopen(my $directory, $_[0], O_RDONLY | O_DIRECTORY) or return 0;
  return $directory->sync;
}

sub cycle {
  sysopen(my $file, "$volume/cycle.$name", O_WRONLY | O_CREAT | O_APPEND) or return failed('open cycle');
  my $cut = $cycle % $cycle_lines == 0;
  if ($cut) {
    note('cutting', ++$generation);
    truncate($file, 0) or return failed('truncate cycle');
  }
  my $line = summed($name, $generation, $cycle++ % $cycle_lines) . "\n";
  my $written = syswrite($file, $line);
  defined $written && $written == length $line or return failed('write cycle');
  $file->sync && close $file or return failed('fsync cycle');
  return 1 unless $cut;
  $acked{cycle} = $generation;
  note('cut', $generation);
  return 1;
}

sub come_and_go {
  my $next = ++$entry;
  my $file = "$volume/entries/$name.$next";
  my $new;
  sysopen($new, $file, O_WRONLY | O_CREAT | O_EXCL)
    or is_repeated('make', $! == EEXIST && sysopen($new, $file, O_WRONLY))
    or return failed('make entry');
  my $line = summed($name, $next) . "\n";
  my $written = syswrite($new, $line);
  defined $written && $written == length $line or return failed('write entry');
  $new->sync && close $new or return failed('fsync entry');
  note('made', $next);
  $mine{$next} = 1;
  my ($oldest, @rest) = sort { $a <=> $b } keys %mine;
  if (@rest >= $entries_kept) {
    note('drop', $oldest);
    delete $mine{$oldest};
    unlink("$volume/entries/$name.$oldest") or is_repeated('unlink', $! == ENOENT) or return failed('unlink');
    sync_directory("$volume/entries") or return failed('fsync of the directory of entries');
    note('gone', $oldest);
  }
  return 1;
}

require(dirname(__FILE__) . '/worker-reads.pl');

# Of the rarer things one in each round, so that no round takes much longer than another.
my @rarely = (\&replace, \&cycle, \&come_and_go, \&cycle, \&read_others);
for (my $round = 0; !-e "$diaries/$name.stop"; $round++) {
  append();
  take_turn($round % 2 ? 'fcntl' : 'flock');
  my $start = now();
  $rarely[$round % @rarely]->() and note('did', $start, now());
  select(undef, undef, undef, $pause / 1000) if $pause;
}
note('end', now());
