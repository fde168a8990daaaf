# Throughput against p99 latency, each a mean over the workloads and against the base.
# Given: $ALL, $FRONT, $CHOSEN (x, low, high, y, low, high), $LETTERS (x, y, letter), words_1 ...
# words_n (what the letters are), n_letters, chosen, machine, measured, system.
set title '{/:Bold '.system.': throughput against p99 latency of the settings}, '.measured. \
  "\n{/*0.7 ".machine.'}' font ',14'
set tmargin 5
set lmargin 11
set rmargin 4
set border 3 lc rgb '#444444'
set xlabel 'throughput, % against the base (to the right is better)'
set ylabel 'p99 latency, % against the base (down is better)'
set xtics nomirror
set ytics nomirror
set grid xtics ytics lc rgb '#dddddd' lw 1 dt 1
set xrange [-100 < *:*]
set yrange [-100 < *:*]
set arrow 1 from 0, graph 0 to 0, graph 1 nohead dt 3 lw 1.2 lc rgb '#777777'
set arrow 2 from graph 0, first 0 to graph 1, first 0 nohead dt 3 lw 1.2 lc rgb '#777777'
set key below left Left reverse maxcols 1 samplen 2 spacing 1.3
# Seen by the axes only, which want some length when all settings are alike.
$LEAST << EOD
-1 -1
1 1
EOD
plot $LEAST with dots lc rgb '#ffffff' notitle, \
     $ALL using 1:4:2:3:5:6 with xyerrorbars pt 0 lw 0.8 lc rgb '#bbbbbb' \
       title 'quartiles of the repetitions', \
     $ALL using 1:4 with points pt 6 ps 0.8 lc rgb '#777777' title 'settings (median)', \
     $FRONT using 1:4 with linespoints pt 7 ps 0.9 lw 1.6 dt 2 lc rgb '#000000' \
       title 'not beaten in both', \
     $CHOSEN using 1:4 with points pt 4 ps 2.4 lw 2 lc rgb '#000000' title chosen, \
     $LETTERS using 1:2:3 with labels offset 0.9, 0.8 font ',11' notitle, \
     for [i = 1:n_letters] NaN with dots lc rgb '#ffffff' title value(sprintf('words_%d', i))
