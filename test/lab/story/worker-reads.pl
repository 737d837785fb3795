# What a worker (`worker.pl`, which loads this) reads of the others, and what it is promised to find there.
use strict;
use warnings;
use Errno qw(ESTALE);
use IO::Handle;

our ($volume, $name, $width);

my %promised;
my %read_up_to;
# What the ledgers promise, as far as they have grown since the last look: what was acknowledged to others before they wrote
# it must be seen by whoever has read it. That orders reads of one host after writes of another without any clock.
sub read_promises {
  for my $kind ('flock', 'fcntl') {
    open(my $ledger, '<', "$volume/turns.$kind") or next;
    my $from = $read_up_to{$kind} // 0;
    seek($ledger, $from, SEEK_SET);
    while (read($ledger, my $line, $width)) {
      last if length $line < $width;
      my (undef, undef, $who, undef, @amounts) = fields($line);
      # A line that is not whole is the checker's business.
      next unless @amounts == 3;
      for my $what ('log', 'state', 'cycle') {
        my $amount = shift @amounts;
        $promised{$what}{$who} = $amount if $amount > ($promised{$what}{$who} // 0);
      }
    }
    $read_up_to{$kind} = tell($ledger) - tell($ledger) % $width;
  }
}

# A program that opens a file which another host replaces at that moment may find it stale and has to look again.
sub lines_of {
  my ($file) = @_;
  for my $try (1 .. 3) {
    $! = 0;
    my $opened = open(my $handle, '<', $file);
    my @lines = $opened ? <$handle> : ();
    return \@lines if $opened && !$handle->error;
    return undef unless $! == ESTALE;
  }
  return undef;
}

my %log_read;
# Number of the last whole record; reads only what was added since the last look.
sub last_record {
  my ($file) = @_;
  my $known = $log_read{$file} //= { at => 0, last => 0 };
  open(my $log, '<', $file) or return undef;
  my $size = -s $log;
  # Shorter than before: all of it is read anew, and the checker judges.
  @$known{qw(at last)} = (0, 0) if $size < $known->{at};
  seek($log, $known->{at}, SEEK_SET);
  while (my $line = <$log>) {
    last unless $line =~ /\n$/;
    $known->{at} += length $line;
    my (undef, $number) = fields($line);
    $known->{last} = $number if defined $number;
  }
  return $known->{last};
}

sub saw {
  my ($kind, $who, $number) = @_;
  note('seen', $kind, $who, $number, $promised{$kind}{$who} // 0, now());
}

sub read_others {
  read_promises();
  # What was promised before this look; what others promise while it goes on counts for the next.
  opendir(my $directory, $volume) or return failed('opendir');
  my @files = sort readdir $directory;
  closedir $directory;
  for my $file (@files) {
    my ($kind, $who) = $file =~ /^(log|state|cycle)\.([^.]+)$/ or next;
    next if $who eq $name;
    if ($kind eq 'log') {
      my $last = last_record("$volume/$file");
      return failed("read $file") unless defined $last;
      saw('log', $who, $last);
      next;
    }
    my $lines = lines_of("$volume/$file");
    return failed("read $file") unless $lines;
    my (undef, $number) = fields($lines->[0]);
    if (defined $number) { saw($kind, $who, $number) }
    # A file that is truncated at this moment may read as empty or as zeros; one that is replaced is always whole.
    elsif ($kind eq 'state') { note('error', now(), "read $file: its line is torn") }
  }
  return list_entries();
}

sub list_entries {
  opendir(my $directory, "$volume/entries") or return failed('opendir entries');
  my (%newest, @own);
  for my $file (readdir $directory) {
    my ($who, $number) = $file =~ /^(.+)\.(\d+)$/ or next;
    if ($who eq $name) { push @own, $number }
    elsif ($number > ($newest{$who} // 0)) { $newest{$who} = $number }
  }
  closedir $directory;
  note('list', join(',', sort { $a <=> $b } @own) || '-');
  saw('entry', $_, $newest{$_}) for sort keys %newest;
  return 1;
}

1;
