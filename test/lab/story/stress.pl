#!/usr/bin/perl
# What has broken shared file systems elsewhere, one kind at a time; several hosts may run the same at once. Ends with a line
# "done WHAT..." and code 0, or with "FAULT WHAT..." and code 1. Perl, for the same reasons as worker.pl.
#
#   stress.pl open VOLUME NAME SECONDS PROCESSES   opens and closes one file in parallel; a call that hangs is a fault
#   stress.pl random VOLUME NAME SECONDS SEED      random writes, truncations and extensions of one file, in turns under a
#                                                  lock; each turn proves that the file is what the last one left, byte by byte
#   stress.pl many VOLUME NAME COUNT PROCESSES NAMES   so many files of each of NAMES (with commas) in one directory: made by
#                                                  so many processes on each, listed by all when all are made, removed
#   stress.pl sparse VOLUME NAME BYTES             a file so large with little in it: written, read, cut
use strict;
use warnings;
use Fcntl qw(:DEFAULT :seek);
use IO::Handle;

my ($mode, $volume, $name, @rest) = @ARGV;
# s for which the slowest host is waited for.
my $patience = 3_600;
# A fault may be found in a child, so it ends the process and the parent passes it on.
sub fault { print "FAULT $mode on $name: ", @_, "\n"; exit 1 }
sub done { print "done ", @_, "\n"; exit 0 }

# Calls that a fault of the file system would let hang are cut short by the alarm's default, which ends the process.
sub open_and_close {
  my ($seconds, $processes) = @_;
  my $file = "$volume/open.shared";
  my $end = time + $seconds;
  in_parallel($processes, sub {
    my ($number) = @_;
    alarm($seconds + 60);
    for (my $round = 0; time < $end; $round++) {
      my $flags = ($round + $number) % 3 == 0 ? O_RDONLY : O_RDWR;
      sysopen(my $handle, $file, $flags | O_CREAT) or fault("open: $!");
      if ($round % 4 == 0 && $flags == O_RDWR) {
        sysseek($handle, 64 * $number, SEEK_SET);
        syswrite($handle, sprintf("%-63s\n", "$name $number $round")) == 64 or fault("write: $!");
      } else { defined sysread($handle, my $text, 64) or fault("read: $!") }
      close $handle or fault("close: $!");
    }
  });
  done("$processes processes opened and closed one file for $seconds s");
}

# Runs so many processes at once, each with its number; a fault of one is a fault of all.
sub in_parallel {
  my ($processes, $work) = @_;
  my @children = map {
    my $number = $_;
    my $child = fork // fault("fork: $!");
    if ($child == 0) { $work->($number); exit 0 }
    $child;
  } 1 .. $processes;
  my @bad;
  for my $child (@children) { waitpid($child, 0); push @bad, $? & 127 ? "signal " . ($? & 127) : $? >> 8 if $?; }
  fault("a process hung or failed: @bad") if @bad;
}

# Takes a lock of the whole file, however long that needs, or gives it back.
sub set_lock {
  my ($handle, $kind) = @_;
  fcntl($handle, $kind == F_WRLCK ? F_SETLKW : F_SETLK, pack('s s x4 q q i x4', $kind, SEEK_SET, 0, 0, 0)) or fault("lock: $!");
}

# Order and value of each word count, so that what was moved or left out shows.
sub sum {
  my $sum = length $_[0];
  $sum = ($sum * 31 + $_) % 2**48 for unpack('N*', $_[0] . "\0\0\0");
  return $sum;
}

sub slurp {
  my ($handle) = @_;
  my $text = '';
  sysseek($handle, 0, SEEK_SET);
  while (my $read = sysread($handle, $text, 65536, length $text)) { }
  return $text;
}

my $most = 32_768;
# Changes the file and its model alike. @returns the model.
sub change {
  my ($handle, $model) = @_;
  my ($at, $length) = (int rand $most, 1 + int rand 4_000);
  if (rand() < 0.3) {
    truncate($handle, $at) or fault("truncate: $!");
    $model .= "\0" x ($at - length $model) if $at > length $model;
    return substr($model, 0, $at);
  }
  my $data = join('', map { chr(int rand 256) } 1 .. $length);
  sysseek($handle, $at, SEEK_SET);
  syswrite($handle, $data) == $length or fault("write: $!");
  $model .= "\0" x ($at - length $model) if $at > length $model;
  substr($model, $at, $length < length($model) - $at ? $length : length($model) - $at, $data);
  return $model;
}

sub at_random {
  my ($seconds, $seed) = @_;
  srand($seed);
  my $end = time + $seconds;
  my $turns = 0;
  for (; time < $end; $turns++) {
    sysopen(my $sums, "$volume/random.sums", O_RDWR | O_CREAT) or fault("open: $!");
    set_lock($sums, F_WRLCK);
    sysopen(my $data, "$volume/random.data", O_RDWR | O_CREAT) or fault("open: $!");
    my $content = slurp($data);
    my ($turn, $length, $sum, $who) = split ' ', slurp($sums) || "0 0 0 nobody";
    fault("after turn $turn of $who it is ${\ length $content} bytes long, not $length") if length $content != $length;
    fault("after turn $turn of $who its content is another") if $length > 0 && sum($content) != $sum;
    my $model = change($data, $content);
    $data->sync or fault("fsync: $!");
    close $data or fault("close: $!");
    my $line = sprintf("%-95s\n", join(' ', $turn + 1, length $model, sum($model), $name));
    sysseek($sums, 0, SEEK_SET);
    syswrite($sums, $line) == 96 && $sums->sync or fault("write: $!");
    set_lock($sums, F_UNLCK);
  }
  done("$turns turns of random changes");
}

sub listed {
  opendir(my $directory, $_[0]) or fault("opendir: $!");
  my %seen;
  $seen{$_}++ for grep { !/^\./ } readdir $directory;
  my @twice = grep { $seen{$_} > 1 } keys %seen;
  fault("listed twice: @twice[0 .. ($#twice < 4 ? $#twice : 4)]") if @twice;
  return scalar keys %seen;
}

# Waits until all of @names have got as far as this: each notes it in one file, which a lock makes all see as it is.
sub all_together {
  my ($step, @names) = @_;
  my $end = time + $patience;
  sysopen(my $steps, "$volume/many.steps", O_RDWR | O_CREAT | O_APPEND) or fault("open: $!");
  set_lock($steps, F_WRLCK);
  syswrite($steps, "$step $name\n") or fault("write: $!");
  for (;;) {
    my %there = map { $_ => 1 } grep { /^$step / } split /\n/, slurp($steps);
    set_lock($steps, F_UNLCK);
    my @missing = grep { !$there{"$step $_"} } @names;
    return if !@missing;
    fault("$step: waited $patience s for @missing") if time > $end;
    sleep 1;
    set_lock($steps, F_WRLCK);
  }
}

sub many {
  my ($count, $processes, $all) = @_;
  my @names = split /,/, $all;
  my $folder = "$volume/many.shared";
  mkdir $folder or $!{EEXIST} or fault("mkdir: $!");
  my $each = sub {
    my ($work) = @_;
    in_parallel($processes, sub {
      my ($first) = @_;
      for (my $number = $first; $number <= $count; $number += $processes) { $work->($number, "$folder/$name-$number") }
    });
  };
  $each->(sub {
    my ($number, $path) = @_;
    sysopen(my $file, $path, O_WRONLY | O_CREAT | O_EXCL) or fault("make $number: $!");
    close $file or fault("close: $!");
  });
  all_together('made', @names);
  my ($found, $wanted) = (listed($folder), $count * @names);
  fault("$found of $wanted files are listed") if $found != $wanted;
  all_together('listed', @names);
  $each->(sub { unlink($_[1]) or fault("remove $_[0]: $!") });
  all_together('removed', @names);
  $found = listed($folder);
  fault("$found files are listed after all were removed") if $found != 0;
  all_together('empty', @names);
  # The others may still look at the steps, but at the folder no more.
  $name ne $names[0] or rmdir $folder or fault("rmdir: $!");
  done("$count of $wanted files in one directory made, all listed, removed");
}

sub sparse {
  my ($bytes) = @_;
  my $path = "$volume/sparse.$name";
  sysopen(my $file, $path, O_RDWR | O_CREAT | O_EXCL) or fault("open: $!");
  for my $at (0, int($bytes / 2), $bytes - 4) {
    sysseek($file, $at, SEEK_SET);
    syswrite($file, 'mark') == 4 or fault("write at $at: $!");
  }
  $file->sync && close $file or fault("fsync: $!");
  sysopen($file, $path, O_RDWR) or fault("open again: $!");
  my ($size, $blocks) = (stat $file)[7, 12];
  fault("it is $size bytes long") if $size != $bytes;
  fault("it takes $blocks blocks") if $blocks * 512 > 1_048_576;
  for my $at (0, int($bytes / 2), $bytes - 4) {
    sysseek($file, $at, SEEK_SET);
    sysread($file, my $text, 4);
    fault("at $at there is '$text'") if $text ne 'mark';
  }
  sysseek($file, int($bytes / 4), SEEK_SET);
  sysread($file, my $hole, 4096);
  fault('a hole is not empty') if $hole ne "\0" x 4096;
  truncate($file, 4) or fault("truncate: $!");
  fault('it does not get shorter') if (stat $file)[7] != 4;
  close $file;
  unlink $path or fault("unlink: $!");
  done("a sparse file of $bytes bytes written, read and cut");
}

my %modes = (open => \&open_and_close, random => \&at_random, many => \&many, sparse => \&sparse);
my $run = $modes{$mode // ''} or die "usage: stress.pl open|random|many|sparse VOLUME NAME ...\n";
$run->(@rest);
